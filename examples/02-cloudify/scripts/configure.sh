#!/bin/sh -e
# The page is a template: {{ ctx.node.properties.title }} in it becomes the node's title.
ctx download-resource-and-render scripts/site/page.html "$HOME/guest-book/page.html"
