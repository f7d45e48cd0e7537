"""Socket of the providers: each module offers `plug = ProviderPlug(name, create)`; see models.PROVIDERS."""
