"""Records of a task's send and upload, so that its next try does not repeat them."""
