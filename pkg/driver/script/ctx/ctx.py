# Cloudify's ctx for scripts in Python, and the command ctx. It is the package "cloudify" with what scripts import of it: ctx, state, exceptions,
# decorators. It works with Python 2.7 and 3, and needs nothing but the standard library.
#
# The context comes in the variables ORCH_CTX, ORCH_CTX_1 ...: lines "=name<tab>JSON" are whole parts of it. What is written goes to
# $ORCH_CTX_FILE, one JSON object a line; the orchestrator takes it from there when the operation ends.
from __future__ import print_function

import atexit
import copy
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
import types

try:
    text_type = unicode  # noqa: F821
except NameError:
    text_type = str


class Names(dict):
    """A map whose keys are attributes, too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError("there is no %s here" % name)

    def __setattr__(self, name, value):
        self[name] = value


def names(v):
    if isinstance(v, dict):
        return Names((k, names(x)) for k, x in v.items())
    if isinstance(v, list):
        return [names(x) for x in v]
    return v


def _read():
    text, n = os.environ.get("ORCH_CTX", ""), 1
    while "ORCH_CTX_%d" % n in os.environ:
        text += os.environ["ORCH_CTX_%d" % n]
        n += 1
    root = Names()
    for line in text.split("\n"):
        key, _, value = line.partition("\t")
        if key.startswith("="):
            root[key[1:]] = names(json.loads(value))
    return root


def parts(path):
    """a.b[3].c as its keys and indexes."""
    out = []
    for word in path.split("."):
        m = re.match(r"^(.*?)((\[\d+\])*)$", word)
        if m.group(1):
            out.append(m.group(1))
        out.extend(int(i) for i in re.findall(r"\[(\d+)\]", m.group(2)))
    return out


def get(at, path):
    for p in parts(path):
        at = at[p]
    return at


def put(at, path, value):
    keys = parts(path)
    for i, p in enumerate(keys[:-1]):
        if isinstance(p, int):
            at = at[p]
            continue
        if not isinstance(at.get(p), (dict, list)):
            at[p] = Names()
        at = at[p]
    at[keys[-1]] = value


class _Changes(object):
    """What the operation has written so far, by this process and others."""

    def __init__(self):
        self.file = os.environ.get("ORCH_CTX_FILE", "")

    def add(self, **change):
        order = [k for k in ("set", "delete", "retry", "abort", "returns") if k in change] + [k for k in ("value", "after") if k in change]
        line = "{" + ",".join(json.dumps(k) + ":" + json.dumps(change[k], separators=(",", ":")) for k in order) + "}\n"
        with open(self.file, "ab") as f:
            f.write(line.encode("utf-8"))

    def replay(self, root):
        if not os.path.exists(self.file):
            return
        with open(self.file, "rb") as f:
            for line in f.read().decode("utf-8", "replace").split("\n"):
                try:
                    c = json.loads(line)
                except ValueError:
                    continue
                where = c.get("set") or c.get("delete")
                if not where:
                    continue
                try:
                    head, path = split(root, where)
                    if "set" in c:
                        put(head, path, names(c["value"]))
                    else:
                        head.pop(path, None)
                except (KeyError, IndexError, TypeError, AttributeError):
                    pass


def split(root, where):
    """The runtime properties that a path begins with, and the rest of it."""
    m = re.match(r"^((?:source\.|target\.)?instance\.runtime_properties)\.(.*)$", where)
    if not m:
        raise KeyError(where)
    at = root
    for p in m.group(1).split("."):
        at = at[p]
    return at, m.group(2)


_changes = _Changes()


_own_output = os.path.join(os.environ.get("ORCH_JOB", os.devnull), "stdout")


def _log(text):
    """Writes into the operation's output, although the script may be capturing what it prints."""
    sys.stdout.flush()
    if not isinstance(text, bytes):
        text = text.encode("utf-8", "replace")
    try:
        with open(_own_output, "ab") as f:
            f.write(text)
    except (IOError, OSError):
        os.write(1, text)


def _captured():
    """Whether standard output is not the operation's own: there a value stands alone, without the end of a line."""
    try:
        return not os.path.samestat(os.fstat(1), os.stat(_own_output))
    except OSError:
        return False


class Logger(object):
    def _say(self, level, message, args):
        message = str(message) if not isinstance(message, (str, text_type)) else message
        if args:
            message = message % (args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args)
        _log("".join("\036orch %s %s\n" % (level, line) for line in message.split("\n")))

    def debug(self, message, *args, **_):
        self._say("debug", message, args)

    def info(self, message, *args, **_):
        self._say("info", message, args)

    def warning(self, message, *args, **_):
        self._say("warning", message, args)

    warn = warning

    def error(self, message, *args, **_):
        self._say("error", message, args)

    critical = fatal = error

    def exception(self, message, *args, **_):
        self._say("error", message, args)
        if sys.exc_info()[0]:
            self._say("error", traceback.format_exc().rstrip("\n"), ())

    def log(self, level, message, *args, **_):
        self._say("debug" if level < 20 else "info" if level < 30 else "warning" if level < 40 else "error", message, args)

    def setLevel(self, _):
        """Every level is kept; who reads the log chooses."""

    def isEnabledFor(self, _):
        return True


class Context(object):
    """ctx of a script."""

    def __init__(self):
        self._root = _read()
        _changes.replay(self._root)
        self.logger = Logger()
        self.type = "relationship-instance" if "source" in self._root else "node-instance"
        self._before = {}
        for where, at in self._instances():
            self._before[where] = copy.deepcopy(at["runtime_properties"])
            at["update"] = lambda *_, **__: self._flush()
            at["refresh"] = lambda *_, **__: None
        op = self._root.setdefault("operation", Names())
        op["retry"] = lambda message=None, retry_after=None: self.retry_operation(message, retry_after)

    def __getattr__(self, name):
        root = self.__dict__["_root"]
        if name in root:
            return root[name]
        raise AttributeError("there is no %s in this operation" % name)

    def _instances(self):
        for where in ("instance", "source.instance", "target.instance"):
            at = self._root
            try:
                for p in where.split("."):
                    at = at[p]
            except KeyError:
                continue
            yield where, at

    def _flush(self):
        for where, at in self._instances():
            now, was = at["runtime_properties"], self._before[where]
            for k in now:
                if k not in was or was[k] != now[k]:
                    _changes.add(set="%s.runtime_properties.%s" % (where, k), value=now[k])
            for k in was:
                if k not in now:
                    _changes.add(delete="%s.runtime_properties.%s" % (where, k))
            self._before[where] = copy.deepcopy(now)

    def retry_operation(self, message=None, retry_after=None):
        _changes.add(retry=message or "", after=retry_after)

    def abort_operation(self, message=None):
        _changes.add(abort=message or "")

    def returns(self, value=None):
        _changes.add(returns=value)

    def send_event(self, message):
        self.logger.info(message)

    def _resource(self, path):
        work = os.path.realpath(os.environ["ORCH_WORK"])
        found = os.path.realpath(os.path.join(work, path))
        if not found.startswith(work + os.sep) or not os.path.isfile(found):
            raise NonRecoverableError("there is no resource %s in the blueprint" % path)
        return found

    def _target(self, path, target):
        if target:
            return target
        return os.path.join(tempfile.mkdtemp(prefix="resource.", dir=os.environ["ORCH_JOB"]), os.path.basename(path))

    def get_resource(self, path):
        with open(self._resource(path), "rb") as f:
            return f.read()

    def download_resource(self, path, target_path=None):
        source, target = self._resource(path), self._target(path, target_path)
        if os.path.realpath(target) != source:  # where it lies already beside the script
            shutil.copyfile(source, target)
        return target

    def get_resource_and_render(self, path, template_variables=None):
        values = Names(ctx=self)
        values.update(names(template_variables or {}))
        return render(self.get_resource(path).decode("utf-8"), values).encode("utf-8")

    def download_resource_and_render(self, path, target_path=None, template_variables=None):
        content = self.get_resource_and_render(path, template_variables)
        target = self._target(path, target_path)
        with open(target, "wb") as f:
            f.write(content)
        return target


class NonRecoverableError(Exception):
    pass


class RecoverableError(Exception):
    def __init__(self, message="", retry_after=None, causes=None, **_):
        Exception.__init__(self, message)
        self.retry_after = retry_after


class OperationRetry(RecoverableError):
    pass


class HttpException(NonRecoverableError):
    pass


class CommandExecutionException(Exception):
    pass


def render(template, values):
    try:
        import jinja2
    except ImportError:
        return _Template(template).render(values)
    return jinja2.Template(template, keep_trailing_newline=True).render(**values)


class _Nothing(object):
    """A name that is not defined: empty, and so is everything of it."""

    def __getattr__(self, _):
        return self

    def __getitem__(self, _):
        return self

    def __str__(self):
        return ""

    def __bool__(self):
        return False

    __nonzero__ = __bool__

    def __iter__(self):
        return iter(())


class _Template(object):
    """Jinja without Jinja: values, filters, for, if, set and comments. Anything else is an error that says so."""

    FILTERS = {
        "default": lambda v, d="", *_: d if isinstance(v, _Nothing) or v is None else v, "upper": lambda v: str(v).upper(), "lower": lambda v: str(v).lower(),
        "trim": lambda v: str(v).strip(), "join": lambda v, s="": s.join(str(x) for x in v), "length": len, "int": int, "string": str,
        "first": lambda v: v[0], "last": lambda v: v[-1], "replace": lambda v, a, b: str(v).replace(a, b),
        "tojson": lambda v: json.dumps(v), "to_json": lambda v: json.dumps(v), "safe": lambda v: v,
    }

    def __init__(self, text):
        self.tokens = [t for t in re.split(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", text, flags=re.S) if t]

    def render(self, values):
        out, rest = self._block(0, dict(values), True, ())
        if rest < len(self.tokens):
            raise NonRecoverableError("the template has an %s too many" % self.tokens[rest])
        return "".join(out)

    def _strip(self, i):
        """Text with the white space taken away that the tags beside it ask for."""
        t = self.tokens[i]
        if i > 0 and self.tokens[i - 1].endswith(("-%}", "-}}", "-#}")):
            t = t.lstrip()
        if i + 1 < len(self.tokens) and self.tokens[i + 1].startswith(("{%-", "{{-", "{#-")):
            t = t.rstrip()
        return t

    def _block(self, i, values, live, ends):
        out = []
        while i < len(self.tokens):
            t = self.tokens[i]
            inner = t[2:-2].strip("-").strip() if t.startswith(("{{", "{%")) else ""
            if t.startswith("{#"):
                i += 1
            elif t.startswith("{{"):
                if live:
                    v = self._value(inner, values)
                    out.append(v if isinstance(v, (str, text_type)) else "" if v is None else str(v))
                i += 1
            elif t.startswith("{%"):
                word = inner.split(None, 1)[0]
                if word in ends:
                    return out, i
                i = self._tag(word, inner, i, values, live, out)
            else:
                if live:
                    out.append(self._strip(i))
                i += 1
        if ends:
            raise NonRecoverableError("the template lacks %s" % ends[-1])
        return out, i

    def _tag(self, word, inner, i, values, live, out):
        if word == "set":
            name, _, expr = inner[3:].partition("=")
            if live:
                values[name.strip()] = self._value(expr.strip(), values)
            return i + 1
        if word == "if":
            taken, open_ = False, True
            cond = inner[2:].strip()
            while True:
                now = live and not taken and bool(cond is None or self._value(cond, values))
                taken = taken or now
                part, i = self._block(i + 1, values, now, ("elif", "else", "endif"))
                out.extend(part)
                tag = self.tokens[i][2:-2].strip("-").strip()
                if tag == "endif":
                    return i + 1
                if not open_:
                    raise NonRecoverableError("the template has a branch after else")
                cond = tag[4:].strip() if tag.startswith("elif") else None
                open_ = cond is not None
        if word == "for":
            m = re.match(r"^for\s+(\w+)(?:\s*,\s*(\w+))?\s+in\s+(.*)$", inner, re.S)
            if not m:
                raise NonRecoverableError("cannot read {%% %s %%}" % inner)
            items = list(self._value(m.group(3), values)) if live else []
            end = self._block(i + 1, dict(values), False, ("endfor",))[1]
            for n, item in enumerate(items):
                inside = dict(values)
                inside["loop"] = Names(index=n + 1, index0=n, first=n == 0, last=n == len(items) - 1, length=len(items))
                if m.group(2):
                    inside[m.group(1)], inside[m.group(2)] = item
                else:
                    inside[m.group(1)] = item
                out.extend(self._block(i + 1, inside, True, ("endfor",))[0])
            return end + 1
        raise NonRecoverableError("the tag %s of a template needs python's jinja2 on this host: install python3-jinja2" % word)

    def _value(self, expr, values):
        first, filters = self._pipes(expr)
        v = self._eval(first, values)
        for f in filters:
            m = re.match(r"^(\w+)\s*(?:\((.*)\))?$", f, re.S)
            if not m or m.group(1) not in self.FILTERS:
                raise NonRecoverableError("the filter %s of a template needs python's jinja2 on this host: install python3-jinja2" % f)
            args = self._eval("(%s,)" % m.group(2), values) if m.group(2) else ()
            v = self.FILTERS[m.group(1)](v, *args)
        return v

    def _pipes(self, expr):
        out, depth, quote, start = [], 0, "", 0
        for i, c in enumerate(expr):
            if quote:
                quote = "" if c == quote else quote
            elif c in "'\"":
                quote = c
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            elif c == "|" and depth == 0:
                out.append(expr[start:i].strip())
                start = i + 1
        out.append(expr[start:].strip())
        return out[0], out[1:]

    def _eval(self, expr, values):
        class Scope(dict):
            def __missing__(self, _):
                return _Nothing()

        scope = Scope(values)
        for k, v in (("true", True), ("false", False), ("none", None), ("range", range)):
            scope.setdefault(k, v)
        try:
            return eval(expr, {"__builtins__": {}}, scope)
        except (KeyError, IndexError, AttributeError):
            return _Nothing()
        except SyntaxError:
            raise NonRecoverableError("cannot read {{ %s }} of a template" % expr)


def _show(v, as_json):
    if as_json:
        return json.dumps(v)
    if isinstance(v, _Nothing) or not v:
        return ""
    return v if isinstance(v, (str, text_type)) else str(v)


def _argument(word, prefix):
    if prefix and word.startswith(prefix):
        return names(json.loads(word[len(prefix):]))
    return word


def _flags(argv):
    """The flags, which may stand anywhere before "--", and the words between them."""
    as_json, prefix, words, rest = False, "@", [], list(argv)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if word == "--":
            words += rest
            break
        if word in ("-j", "--json-output"):
            as_json = True
        elif name in ("-t", "--timeout", "--socket-url", "--json-arg-prefix"):
            if not given:
                value = rest.pop(0) if rest else ""
            if name == "--json-arg-prefix":
                prefix = value
        else:
            words.append(word)
    return as_json, prefix, words


def _command(argv):
    """ctx WORD..."""
    as_json, prefix, words = _flags(argv)
    at, path = ctx, []
    if not words:
        raise NonRecoverableError("what of the context?")
    while words:
        if isinstance(at, dict) and path and path[-1] in ("properties", "runtime_properties", "capabilities", "bootstrap_context"):
            if len(words) == 1:
                try:
                    return _show(get(at, words[0]), as_json)
                except (KeyError, IndexError, TypeError):
                    raise NonRecoverableError("there is no %s.%s here" % (".".join(path), words[0]))
            if path[-1] != "runtime_properties":
                raise NonRecoverableError("only runtime properties can be written")
            _changes.add(set=".".join(path) + "." + words[0], value=_argument(words[1], prefix))
            return ""
        word = words.pop(0).replace("-", "_")
        path.append(word)
        if isinstance(at, dict):
            if word not in at:
                raise NonRecoverableError("there is no %s here" % " ".join(path))
            at = at[word]
        else:
            at = getattr(at, word)
        if callable(at):
            args = [_argument(w, prefix) for w in words]
            kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
            if word in ("download_resource_and_render", "get_resource_and_render") and not set(kwargs) <= {"target_path", "template_variables"}:
                kwargs = {"template_variables": kwargs}
            ends = word in ("retry_operation", "abort_operation", "retry")
            if word in ("retry_operation", "retry") and len(args) > 1:
                args[1] = float(args[1])
            result = at(*args, **kwargs)
            if ends:
                raise SystemExit(1)
            if isinstance(result, bytes) and not as_json:
                return result
            return _show(result.decode("utf-8") if isinstance(result, bytes) else result, as_json)
    return _show(at, as_json)


def _module(name, **content):
    m = types.ModuleType("cloudify." + name)
    m.__dict__.update(content)
    sys.modules["cloudify." + name] = m
    globals()[name] = m


def _operation(*args, **_):
    return args[0] if args and callable(args[0]) else lambda f: f


def _excepthook(kind, err, tb, was=sys.excepthook):
    if issubclass(kind, NonRecoverableError):
        _changes.add(abort=str(err))
    elif issubclass(kind, RecoverableError) and err.retry_after is not None or issubclass(kind, OperationRetry):
        _changes.add(retry=str(err), after=err.retry_after)
    was(kind, err, tb)


ctx = Context()

if __name__ == "__main__":
    try:
        shown = _command(sys.argv[1:])
        if not isinstance(shown, bytes):
            shown = shown.encode("utf-8")
        if shown and not _captured():
            shown += b"\n"
        os.write(1, shown)
    except (NonRecoverableError, AttributeError, KeyError, IndexError, TypeError, ValueError) as e:
        sys.stderr.write("ctx: %s\n" % e)
        sys.exit(1)
else:
    _inputs = ctx._root.get("inputs", Names())
    _module("state", ctx=ctx, ctx_parameters=_inputs, current_ctx=Names(get_ctx=lambda: ctx, get_parameters=lambda: _inputs))
    _module("exceptions", NonRecoverableError=NonRecoverableError, RecoverableError=RecoverableError, OperationRetry=OperationRetry,
            HttpException=HttpException, CommandExecutionException=CommandExecutionException)
    _module("decorators", operation=_operation, workflow=_operation)
    _module("context", NODE_INSTANCE="node-instance", RELATIONSHIP_INSTANCE="relationship-instance")
    _module("constants", NODE_INSTANCE="node-instance", RELATIONSHIP_INSTANCE="relationship-instance")
    sys.excepthook = _excepthook
    atexit.register(ctx._flush)
