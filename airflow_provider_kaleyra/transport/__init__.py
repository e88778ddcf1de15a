"""How a request reaches Kaleyra: thin shells over the same plain values."""
