#!/bin/bash
# On the page's server, for the relationship: SOURCE is the page, TARGET the store.
echo "$SOURCE_INSTANCE reads from $TARGET_INSTANCE"
echo "http://$STORE_ADDRESS:$STORE_PORT/" > /srv/notes/store
