"""An independent checker for the certificates of snnc; see docs/certificate.md."""
