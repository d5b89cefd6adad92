"""What TCIA offers: its search service, catalogue, licences, citations, manifests."""
