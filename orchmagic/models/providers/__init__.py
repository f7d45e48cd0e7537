"""The built-in providers: each module defines `plug = ProviderPlug(name, create)`; see models.PROVIDERS."""
