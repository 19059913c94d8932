// What lives here: lines that loggers of other languages write by default into files that are read as log4j: NLog, zap, Monolog, Ruby's Logger, Celery, klog, those of Rust, MySQL, Minecraft.
// Invariant: a layout is known by its marks alone, so that no line of Java's loggers is taken for one of these.
// Apart because each of them is one pattern, and none shares the pieces of Java's layouts.

/** As the frameworks of Java write them. */
export const javaSeverities = 'TRACE DEBUG INFO WARN ERROR FATAL WARNING SEVERE CONFIG FINE FINER FINEST'.split(' ');
/** In capitals, as Python, loguru, Monolog and others write them too. Short forms are not here: a line that was cut in `INFO` ends in INF. */
const words = [
  ...javaSeverities,
  ...'CRITICAL NOTICE SUCCESS ALERT EMERGENCY PANIC DPANIC VERBOSE INFORMATION'.split(' '),
];
/** Longer words first, so that WARN does not end in WARNING. */
export const level = [...new Set(words)].toSorted((one, other) => other.length - one.length).join('|');
/** In any case, where a bracket or a colon behind shows that the word is a severity. A thread may be called `http`, `log` or `config`. */
const certain = new Set(
  'trace trc verbose vrb silly debug dbg info inf information notice warn wrn warning error err critical crit alert emergency emerg fatal ftl panic dpanic'.split(
    ' ',
  ),
);
const marked = /^(?:\[([A-Za-z]{3,11})\s*\]|([A-Za-z]{3,11}): (?=\S))/;

/** structlog's `[error    ]`, winston's `error: `: the word, and how much of the text it takes with its marks. */
export function markedLevel(text: string): { readonly word: string; readonly length: number } | undefined {
  const found = marked.exec(text);
  const word = found?.[1] ?? found?.[2];
  return word !== undefined && certain.has(word.toLowerCase()) ? { word, length: found![0].length } : undefined;
}

export interface Other {
  readonly time?: string;
  readonly severity: string;
  readonly module: string;
  readonly message: string;
  readonly attributes: Record<string, string>;
}

/** `|WARN|MyApp.Program|message`, the layout of NLog that nobody has changed. */
const nlog = new RegExp(String.raw`^\|(${level})\|([^|]*)\|(.*)$`, 's');
/** zap's console: tabs between severity, logger if it has a name, caller and message. */
const zap = /^\t([A-Za-z]{4,6})\t(?:([^\t]+)\t)?([^\t\s]+\.go:\d+)\t(.*)$/s;
/** Airlift's, which Trino and Presto write: severity, thread and logger between tabs. */
const airlift = new RegExp(String.raw`^\t(${level})\t([^\t]*)\t([A-Za-z][\w$-]*(?:\.[\w$-]+)+)\t(.*)$`, 's');
/** `app.ERROR: message {"a":1} []`, by Monolog and Laravel. */
const monolog = new RegExp(String.raw`^ ([\w-]+(?:\.[\w-]+)*)\.(${level}): ?(.*)$`, 's');
/** `[Server thread/WARN]: message`, and with a logger in brackets of its own behind. */
const minecraft = new RegExp(String.raw`^ \[([^\]]*)\/(${level})\](?: \[([^\]]*?)\/?\])?: (.*)$`, 's');

/** `ERROR my::mod: message`, by Rust's tracing; a path of one word is told from a message by nothing. */
const tracing = new RegExp(String.raw`^ +(${level}) ((?:\w+::)+\w+): (.*)$`, 's');
/** ` 0 [Warning] [MY-010068] [Server] message`, by MySQL and MariaDB: number of the connection, code and part of the server. */
const mysql = /^ (\d+) \[(System|Note|Warning|ERROR)\] (?:\[(MY-\d+)\] \[([^\]]+)\] )?(.*)$/s;

/** What stands behind the time of a line; undefined if it is none of these. */
export function behindTime(rest: string): Other | undefined {
  const piped = nlog.exec(rest);
  if (piped !== null) return { severity: piped[1]!, module: piped[2]!, message: piped[3]!, attributes: {} };
  const tabbed = zap.exec(rest);
  if (tabbed !== null)
    return { severity: tabbed[1]!, module: tabbed[2] ?? '', message: tabbed[4]!, attributes: { where: tabbed[3]! } };
  const server = airlift.exec(rest);
  if (server !== null)
    return { severity: server[1]!, module: server[3]!, message: server[4]!, attributes: { thread: server[2]! } };
  const channel = monolog.exec(rest);
  if (channel !== null) return { severity: channel[2]!, module: channel[1]!, message: channel[3]!, attributes: {} };
  const path = tracing.exec(rest);
  if (path !== null) return { severity: path[1]!, module: path[2]!, message: path[3]!, attributes: {} };
  const base = mysql.exec(rest);
  if (base !== null) {
    const attributes = { thread: base[1]!, ...(base[3] === undefined ? {} : { code: base[3] }) };
    return { severity: base[2]!, module: base[4] ?? '', message: base[5]!, attributes };
  }
  const game = minecraft.exec(rest);
  if (game === null) return undefined;
  return { severity: game[2]!, module: game[3] ?? '', message: game[4]!, attributes: { thread: game[1]! } };
}

/** `E, [2026-11-21T08:00:00.123456 #12345] ERROR -- My::App: message`, by Ruby's Logger and Rails. */
const ruby = /^[A-Z], \[(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?) #(\d+)\] +([A-Z]+) -- ((?:[^:]|::)*): ?(.*)$/s;
/** `[2026-11-21 08:00:00,123: ERROR/ForkPoolWorker-1] message`, by Celery. */
const celery = new RegExp(String.raw`^\[(\d{4}-\d\d-\d\d [\d:,]+): (${level})\/([^\]]+)\] (.*)$`, 's');
/** `[2026-11-21T08:00:00Z ERROR my::mod] message`, by Rust's env_logger. */
const rust = new RegExp(String.raw`^\[(\d{4}-\d\d-\d\dT[\d:.]+Z) (${level}) +([\w:]+)\] (.*)$`, 's');
/** `E1121 08:00:00.123456       1 controller.go:123] message`, by glog and klog: a severity's letter, month and day. */
const klog = /^([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d+) +(\d+) ([^\s\]]+:\d+)\] (.*)$/s;
const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** A line that begins with its time together with something else, or not with its time. */
export function wholeLine(text: string): Other | undefined {
  const [, time, pid, severity, name, said] = ruby.exec(text) ?? [];
  if (time !== undefined)
    return { time, severity: severity!, module: name!.trim(), message: said!, attributes: { pid: pid! } };
  const task = celery.exec(text);
  if (task !== null)
    return { time: task[1]!, severity: task[2]!, module: '', message: task[4]!, attributes: { thread: task[3]! } };
  const path = rust.exec(text);
  if (path !== null) return { time: path[1]!, severity: path[2]!, module: path[3]!, message: path[4]!, attributes: {} };
  const glog = klog.exec(text);
  if (glog === null) return undefined;
  const [, letter, month, day, clock, thread, where, message] = glog as unknown as string[];
  const attributes = { thread: thread!, where: where! };
  return {
    time: `${months[Number(month) - 1] ?? month!} ${day!} ${clock!}`,
    severity: letter!,
    module: '',
    message: message!,
    attributes,
  };
}
