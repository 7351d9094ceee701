"""The offline job: from sources to a release."""

import bioelx as bioelx  # before any import of onnxruntime: it keeps that from reporting usage
