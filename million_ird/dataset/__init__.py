"""The dataset on disk: columns, patches, shards and their layout."""
