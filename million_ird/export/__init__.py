"""Built datasets in the layouts of other programs: folders, WebDataset, LMDB."""
