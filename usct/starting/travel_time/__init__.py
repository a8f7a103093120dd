"""First arrivals, and images of sound speed made of them."""
