// What lives here: what network devices put before their message, beside or instead of the head of a syslog line: Cisco's IOS, IOS-XR, NX-OS and ASA, Meraki, Fortinet and SonicWall.
// Invariant: the device's own word for its severity is found wherever it stands; how long a device is up is no time of the day.
// Apart because each maker has a layout of its own, and none of them is in a standard.

export interface DeviceHead {
  /** When, as written; undefined where the device states none, or how long it is up. */
  readonly stamp?: string | undefined;
  readonly attributes: Readonly<Record<string, string>>;
  /** All that stands behind. */
  readonly rest: string;
}

const given = (fields: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value ? [[name, value]] : [])));

/** `%ASA-6-302013: …`, `%PKT_INFRA-LINK-3-UPDOWN : …`: the device states its severity here, whatever the priority in front. */
export const mnemonic = /^(?<tag>%[A-Z][\w/]*(?:-[A-Z\d_]+)*?-(?<level>[0-7])-[\w/]+) ?: ?(?<message>.*)$/s;

/** The message, or the process before it as IOS-XR writes it. */
const behind = String.raw`(?<rest>(?:[\w.-]+\[\d+\] ?: )?%.*)`;
const before = String.raw`(?:: )?(?:(?<seq>\d+): )?(?:(?<host>(?!\d+[ywd]\d+[wdh]:)[^\s:[\]]+): )?`;
/** `0/RSP0/CPU0`, the card of a router that wrote the line. */
const node = String.raw`(?:(?<node>[A-Z]+\d*(?:/\w+)+):)?`;

/** Makes the reader of Cisco's heads for a stamp: `<189>43: sw1: *Mar  1 00:00:59.123 UTC: %SYS-5-CONFIG_I: …`; the mark says that the clock is not set or not in step. */
export function ciscoReader(stamp: string): (text: string) => DeviceHead | undefined {
  const head = new RegExp(`^${before}${node}(?<mark>[*.]?)(?<stamp>${stamp}) ?: ${behind}$`, 's');
  return (text) => {
    const found = head.exec(text)?.groups;
    if (found === undefined) return undefined;
    const { seq, host, mark } = found;
    const clock = mark === '*' ? 'not set' : mark === '.' ? 'not in step' : undefined;
    const attributes = given({ host, sequence: seq, node: found['node'], clock });
    return { stamp: found['stamp']!, attributes, rest: found['rest']! };
  };
}

const untimed = new RegExp(
  String.raw`^${before}(?:(?<uptime>\d{1,3}:\d\d:\d\d|\d+[ywd]\d+[wdh]): )?(?<rest>%.*)$`,
  's',
);

/** What stands behind a relay's own time where the device has no clock: a count of its messages, and for how long it is up. */
export function untimedHead(text: string): DeviceHead | undefined {
  const found = untimed.exec(text)?.groups;
  if (found === undefined || !mnemonic.test(found['rest']!)) return undefined;
  return {
    attributes: given({ host: found['host'], sequence: found['seq'], uptime: found['uptime'] }),
    rest: found['rest']!,
  };
}

/** `date=2026-11-21 time=08:00:00 devname="fw1" tz="+0100" level="error" …`, which Fortinet's devices send without any head. */
const fortinet = /^date=(\d{4}-\d\d-\d\d),? time=(\d\d:\d\d:\d\d),? (?=.*\blevel=)/s;
const levelWord = /(?:^|[ ,])level="?([a-z]+)"?(?=[ ,]|$)/;

/** The severity that a line of pairs states, `level=warning`, where it is one of Fortinet's. */
export const levelOfPairs = (text: string): string | undefined =>
  /^date=\d/.test(text) ? levelWord.exec(text)?.[1]?.replace(/^information$/, 'info') : undefined;

/** `id=firewall sn=0 time="2026-11-21 08:00:00 UTC" fw=10.0.0.1 pri=6 …`, by SonicWall. */
const sonicwall = /^id=\S+ sn=\S+ time="([^"]+)" (?:fw=(\S+) )?/;
/** `1 1795248000.123456789 MX84 events type=…`, by Meraki: the version and the place of RFC 5424, and a time that it does not know. */
const meraki = /^1 (\d{9,10}\.\d{1,9}) (\S+) (.*)$/s;

/** The head of a device that writes pairs. */
export function pairsHead(text: string): DeviceHead | undefined {
  const sonic = sonicwall.exec(text);
  if (sonic !== null) return { stamp: sonic[1]!, attributes: given({ host: sonic[2] }), rest: text };
  const cloud = meraki.exec(text);
  if (cloud !== null) return { stamp: cloud[1]!, attributes: given({ host: cloud[2] }), rest: cloud[3]! };
  const found = fortinet.exec(text);
  if (found === null) return undefined;
  const pair = (name: string): string | undefined => new RegExp(`[ ,]${name}="?([^", ]+)`).exec(text)?.[1];
  const zone = /^[+-]\d{4}$/.exec(pair('tz') ?? '')?.[0] ?? '';
  return { stamp: `${found[1]} ${found[2]}${zone}`, attributes: given({ host: pair('devname') }), rest: text };
}
