// What lives here: which lines continue a record as the trace of an error, in the forms of Java, Python, Node, Go, Rust, Ruby, PHP, .NET and others.
// Invariant: a line that may be a damaged record of its own never continues another: it becomes a letter, not a part of a message.
// Apart because languages differ, and only lines that begin no record are looked at.

/** Indented by a tab or more than one space, or by one before the words that frames begin with. */
const indented = /^(?:\t| {2,}| (?=at |in |from |--->|\.\.\. ))\S/;

/** Lines at the margin that only the trace of an error has. */
const openers = new RegExp(
  `^(?:${[
    String.raw`Exception in thread |Caused by: |Suppressed: |Wrapped by: |\.\.\. \d+ (?:more|common frames omitted)`,
    String.raw`Traceback \(most recent call last\)|During handling of the above exception|The above exception was the direct cause`,
    String.raw`(?:Stack ?trace|Call ?stack|Backtrace|stack backtrace|Caused by)s?:?$|\[?stacktrace\]?$`,
    String.raw`panic: |fatal error: |goroutine \d+ \[|\[signal |created by |exit status \d|runtime error: `,
    String.raw`thread '.*' (?:\(\d+\) )?panicked at|note: run with |\*\* \(`,
    String.raw`--->|--- End of |Unhandled exception|Uncaught |Node\.js v\d|node:internal`,
    String.raw`PHP (?:Fatal|Parse|Warning|Notice|Deprecated)|#\d+ |\S+\.rb:\d+:in |from \S+:\d+:in `,
  ].join('|')})`,
);
/** `ValueError: x`, `java.lang.IllegalStateException`, `Foo::BarError (x):`, and any class of a package before a colon. */
const thrown =
  /^(?:(?:[A-Za-z_$][\w$.:\\/]*)?(?:Error|Exception|Fault|Failure|Interrupt|Throwable|Panic)|(?:[a-z_][\w$]*\.)+[A-Z][\w$]*)(?:: |:?$| \[| \()/;
/** A record whose time is damaged or missing, or one that was cut in it. */
const damaged = /^\s*(?:\d{2,4}[-/.]\d|.{0,48}?\b[A-Z]{3,9} \[[^\]]*\] )/;

/** True if a line that begins no record continues the one before it; `traced` says whether that one has such lines already. */
export function continuesTrace(line: string, traced: boolean): boolean {
  if (line.trim() === '') return traced;
  if (damaged.test(line)) return false;
  return traced || indented.test(line) || openers.test(line) || thrown.test(line);
}
