"""BioELX: cross-lingual biomedical entity linking. This package is what runs online."""

import os

# onnxruntime's Linux wheels report usage over the network unless they are told not to before they
# are imported. What links patients' words talks to nobody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
