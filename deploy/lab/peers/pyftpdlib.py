# An FTP server with pyftpdlib. Its settings are a JSON object, the only argument.
import json
import logging
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

settings = json.loads(sys.argv[1])
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)

handler = FTPHandler
if "certificate" in settings:
    from OpenSSL import SSL
    from pyftpdlib.handlers import TLS_FTPHandler
    handler = TLS_FTPHandler
    # Read here, because the key is root's.
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate_file(settings["certificate"])
    context.use_privatekey_file(settings["key"])
    handler.ssl_context = context
    handler.certfile = settings["certificate"]

authorizer = DummyAuthorizer()
authorizer.add_user(settings["user"], settings["password"], settings["root"], perm="elradfmwMT")
handler.authorizer = authorizer
if settings["first"]:
    handler.passive_ports = range(settings["first"], settings["last"] + 1)
handler.masquerade_address = settings.get("announce")

server = FTPServer((settings["address"], settings["port"]), handler)
server.max_cons = settings["maximum"]
os.setgroups([])
os.setgid(settings["gid"])
os.setuid(settings["uid"])
server.serve_forever(handle_exit=False)
