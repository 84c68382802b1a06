"""A reference application to protect, small and real: uploads become documents, documents become PDFs.

`python -m drplatform.application api|worker|gateway|reporting --listen HOST:PORT --settings FILE` runs one of its services. An upload is an
object in S3, a document in MongoDB, a cached copy in Redis and a job in a Redis list; the worker makes a PDF of it. So every store holds
references into the others, and a recovery that tears them apart shows. What is imported here is for the outside.
"""

from drplatform.application.users import connect

__all__ = ["connect"]
