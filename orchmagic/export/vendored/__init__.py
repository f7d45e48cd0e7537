"""Code that modules carry as it stands here."""
