"""What measured scans need before an inversion can trust them: quality control and calibration in water."""
