# Runs the script given as first argument as the main program. When it ends, the environment variables it changed and the globals it was
# asked for go to $ORCH_JOB/exports, NUL-terminated. Works with Python 2.7 and 3. _orch_asked (names) is set before.
import sys


def _orch_main(asked):
    import json
    import os

    path = sys.argv[1]
    del sys.argv[0]
    sys.path[0] = os.path.dirname(path)
    job = os.environ["ORCH_JOB"]
    names = sys.modules["__main__"].__dict__
    before = dict(os.environ)
    del names["_orch_main"], names["_orch_asked"]
    names["__file__"] = path

    def text(v):
        if v is None:
            return ""
        return v if isinstance(v, type("")) else v.decode("utf-8", "replace") if isinstance(v, bytes) else json.dumps(v)

    def dump():
        out = {}
        for k in os.environ:
            if not k.startswith("ORCH_") and os.environ[k] != before.get(k):
                out[k] = os.environ[k]
        for k in asked:
            if k in names:
                try:
                    out[k] = text(names[k])
                except (TypeError, ValueError):
                    out[k] = str(names[k])
        try:
            os.remove(os.path.join(job, "room"))
        except OSError:
            pass
        with open(os.path.join(job, "exports.tmp"), "wb") as f:
            for k in sorted(out):
                v = k + "=" + out[k].replace("\0", "") + "\0"
                f.write(v if isinstance(v, bytes) else v.encode("utf-8", "surrogateescape"))
            f.write(b"=\0")

    try:
        with open(path, "rb") as f:
            code = compile(f.read(), path, "exec")
        exec(code, names)
    except SystemExit:
        raise
    except BaseException:
        kind, err, tb = sys.exc_info()
        sys.excepthook(kind, err, tb.tb_next)
        sys.exit(1)
    finally:
        dump()


_orch_main(_orch_asked)
