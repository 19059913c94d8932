// What lives here: lines that loggers of other languages write by default into files that are read as log4j: NLog, zap, Monolog, Ruby's Logger, Minecraft.
// Invariant: a layout is known by its marks alone, so that no line of Java's loggers is taken for one of these.
// Apart because each of them is one pattern, and none shares the pieces of Java's layouts.

/** As the frameworks of Java write them. */
export const javaSeverities = 'TRACE DEBUG INFO WARN ERROR FATAL WARNING SEVERE CONFIG FINE FINER FINEST'.split(' ');
/** In capitals, as Python, loguru, Serilog, Monolog and others write them too. Letters alone are too many other things. */
const words = [
  ...javaSeverities,
  ...'CRITICAL NOTICE SUCCESS ALERT EMERGENCY PANIC DPANIC VERBOSE INFORMATION ERR CRIT EMERG INF WRN DBG FTL VRB TRC'.split(
    ' ',
  ),
];
/** Longer words first, so that WARN does not end in WARNING. */
export const level = [...new Set(words)].toSorted((one, other) => other.length - one.length).join('|');
/** In any case, where a bracket or a colon behind shows that the word is a severity. A thread may be called `http`, `log` or `config`. */
const certain = new Set(
  'trace verbose silly debug info information notice warn warning error err critical crit alert emergency emerg fatal panic dpanic'.split(
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
/** `app.ERROR: message {"a":1} []`, by Monolog and Laravel. */
const monolog = new RegExp(String.raw`^ ([\w-]+(?:\.[\w-]+)*)\.(${level}): ?(.*)$`, 's');
/** `[Server thread/WARN]: message`, and with a logger in brackets of its own behind. */
const minecraft = new RegExp(String.raw`^ \[([^\]]*)\/(${level})\](?: \[([^\]]*?)\/?\])?: (.*)$`, 's');

/** What stands behind the time of a line; undefined if it is none of these. */
export function behindTime(rest: string): Other | undefined {
  const piped = nlog.exec(rest);
  if (piped !== null) return { severity: piped[1]!, module: piped[2]!, message: piped[3]!, attributes: {} };
  const tabbed = zap.exec(rest);
  if (tabbed !== null)
    return { severity: tabbed[1]!, module: tabbed[2] ?? '', message: tabbed[4]!, attributes: { where: tabbed[3]! } };
  const channel = monolog.exec(rest);
  if (channel !== null) return { severity: channel[2]!, module: channel[1]!, message: channel[3]!, attributes: {} };
  const game = minecraft.exec(rest);
  if (game === null) return undefined;
  return { severity: game[2]!, module: game[3] ?? '', message: game[4]!, attributes: { thread: game[1]! } };
}

/** `E, [2026-11-21T08:00:00.123456 #12345] ERROR -- prog: message`, by Ruby's Logger and Rails. */
const ruby = /^[A-Z], \[(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?) #(\d+)\] +([A-Z]+) -- ([^:]*): ?(.*)$/s;

/** A line that does not begin with its time. */
export function wholeLine(text: string): Other | undefined {
  const found = ruby.exec(text);
  if (found === null) return undefined;
  const [, time, pid, severity, module, message] = found as unknown as string[];
  return { time: time!, severity: severity!, module: module!.trim(), message: message!, attributes: { pid: pid! } };
}
