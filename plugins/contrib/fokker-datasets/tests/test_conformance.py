"""What the sources promise, measured by the conformance kit."""
