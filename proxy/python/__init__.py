"""Python indexes: their addresses, their pages, wheels and what lies beside them.

A **page** is parsed once into the newest standard's model (`page`), whatever form upstream sent, and rendered from
there in the form that the client asked for, with links that stay on this cache. `addresses` says what an address means
and prints it back; `wheel` reads metadata out of a wheel's end. All of these are pure; `service` is the only module
that others call for answers, and it acts through the `cache`. Never speaks HTTP to a client, never touches the disk or
the network itself.
"""
