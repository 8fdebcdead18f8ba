#!/bin/bash
# Fails, with a secret in its last words.
echo "cannot log in with $PASSWORD and $GIVEN" >&2
exit 3
