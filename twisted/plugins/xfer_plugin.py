"""Drop-in: light records only; what they name is imported when it is configured."""

from twisted.application.service import ServiceMaker

xfer = ServiceMaker(  # type: ignore[no-untyped-call]
    "xfer", "twisted_xfer.app.tap", "Serve files over FTP, FTPS and the xfer protocol.", "xfer"
)
