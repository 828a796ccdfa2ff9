"""Python indexes: their addresses, their pages, distributions and wheels' metadata.

A **page** goes one way (ADR 13): fetched and stored as upstream sent it (`page_cache`), parsed into the newest
standard's model whatever form it has (`parsed_pages`, `page`), completed with what is known here (`supplements`), and
rendered in the form that the client asks for, with links that stay on this cache (`rendered_pages`). Looking up a
single link is another way (`catalog`): it serves files (`files`) and metadata (`metadata`). A link of the usual
kind stays what it is in JSON until somebody asks for its file (`plain_links`, `file_list`, ADR 23).

`service` is the only module that other rooms call for answers. It acts through the `cache`: this room never speaks HTTP
to a client, and never touches the disk or the network itself.
"""
