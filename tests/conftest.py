"""What every test shares; needs nothing but pytest, so that the GPU tests run in a bare environment."""

import os

# Threads that spin while they wait starve each other on small machines; this must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
