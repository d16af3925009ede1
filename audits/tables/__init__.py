"""The tables of an audit: reading columns, cutting them in cells, sampling, overlap."""
