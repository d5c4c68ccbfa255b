"""The bridging VAE. Read `model` for the method; `pack` trains many bridges at once, to the same bits."""
