"""Where results go: HDF5 files in zea's layout, and pictures."""
