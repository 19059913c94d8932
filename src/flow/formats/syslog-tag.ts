// What lives here: the tag of an old syslog line: who wrote it, its process, and where its message begins.
// Invariant: a tag is taken whole or not at all; what is no tag stays in the message.
// Apart because no standard says what a tag is, and daemons differ.

export interface Tag {
  readonly tag: string;
  readonly pid?: string;
  /** What stands in brackets behind the process: `(com.apple.xpc.launchd.domain.system)`. */
  readonly part?: string;
  /** `<Notice>`, as macOS writes it. */
  readonly level?: string;
  readonly message: string;
}

/** With a process in brackets the end of the tag is certain, so it may hold spaces and colons: `Google Chrome Helper[12]:`, `Mail::SPF[3]:`. */
const certain =
  /^(?<tag>[^[\]<>:]+(?:::?[^[\]<>: ]+)*)\[(?<pid>[^[\]]*)\](?: \((?<part>[^()]*)\))?(?: <(?<level>[A-Za-z]+)>)?(?:: ?(?<message>.*)|$)/s;
/** Without one it is a word: `kernel:`, `postfix/smtpd:`, `org.gnome.Shell.desktop:`, `sshd(pam_unix):`. */
const word = /^(?<tag>[^\s[\]:"=]+(?:::[^\s[\]:"=]+)*)(?: <(?<level>[A-Za-z]+)>)?:(?: (?<message>.*)|$)/s;
/** Some put no space behind the colon: `kernel:usb 1-1`. */
const tight = /^(?<tag>[A-Za-z][\w./-]*):(?![/\d])(?<message>\S.*)$/s;

/** Longest tag; a longer one is text with a colon in it. */
const TAG_MAX = 128;

export function tagOf(text: string): Tag | undefined {
  const found = (certain.exec(text) ?? word.exec(text) ?? tight.exec(text))?.groups;
  if (found === undefined || found['tag']!.length > TAG_MAX) return undefined;
  const { tag, pid, part, level, message = '' } = found;
  return {
    tag: tag!,
    message,
    ...(pid === undefined ? {} : { pid }),
    ...(part === undefined ? {} : { part }),
    ...(level === undefined ? {} : { level }),
  };
}
