"""Images in tar, WebDataset and zip archives."""
