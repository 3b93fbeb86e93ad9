"""The few kinds of picture that everyone else asks for, as PNG files; each says what it could not write in its font."""
