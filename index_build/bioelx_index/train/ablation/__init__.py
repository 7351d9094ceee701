"""The table of what each ingredient of training gives, over one knowledge base and one set of
questions."""
