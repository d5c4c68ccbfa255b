"""What a bridge is compared with: maps in closed form between the same latents, from the same labels."""
