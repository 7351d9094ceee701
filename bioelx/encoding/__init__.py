"""Encoders: texts in, unit vectors out."""

from bioelx.encoding.encoder import Encoder, EncoderCard, open_encoder

__all__ = ["Encoder", "EncoderCard", "open_encoder"]
