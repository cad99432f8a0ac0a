"""What is trained on: data sets, whole and streamed, and folders; only the rows that a crop needs are decoded."""
