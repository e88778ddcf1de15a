"""What a task records of its sends and uploads, so that its next try does not repeat them."""
