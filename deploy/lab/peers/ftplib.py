# An FTP client with ftplib. Its settings are a JSON object, the only argument.
import ftplib
import json
import os
import sys

settings = json.loads(sys.argv[1])
mode = settings["mode"]


class Client(ftplib.FTP):
    # The address in a 227 is to be used, whatever it is: newer versions overlook it.
    trust_server_pasv_ipv4_address = True

    def makepasv(self):
        if mode == "EPSV":
            return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())
        return super().makepasv()

    def sendport(self, host, port):
        if mode == "EPRT":
            return self.sendeprt(host, port)
        return super().sendport(host, port)


ftp = Client(timeout=10)
ftp.set_debuglevel(1)
ftp.connect(settings["address"], settings["port"])
ftp.login(settings["user"], settings["password"])
ftp.set_pasv(mode in ("PASV", "EPSV"))
for file in settings["files"]:
    if settings["task"] == "list":
        ftp.dir(file["Remote"])
    elif settings["task"] == "get":
        with open(file["Local"], "wb") as local:
            ftp.retrbinary("RETR " + file["Remote"], local.write)
    elif settings["task"] == "resume":
        with open(file["Local"], "ab") as local:
            ftp.retrbinary("RETR " + file["Remote"], local.write, rest=os.path.getsize(file["Local"]))
    elif settings["task"] == "put":
        with open(file["Local"], "rb") as local:
            ftp.storbinary("STOR " + file["Remote"], local)
ftp.quit()
