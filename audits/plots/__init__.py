"""The plots of an audit as SVG text."""
