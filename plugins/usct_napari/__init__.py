"""Home of the napari plugin; it contributes nothing yet."""
