"""CALE (draft-deutch-lamps-client-app-encrypt-00): edge device, authorization, origination and resource server.

Each role is a class with `handle(request, peer)`; how one role reaches another is a `Hop` that it is given.
"""
