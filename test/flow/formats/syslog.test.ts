// What lives here: lines as syslog daemons and devices write them by default, and what becomes of each.
// Invariant: lines follow the daemons' documented templates or were seen in real files; a tag is taken whole.
// Apart from the two RFCs, which text.test.ts has.
import { describe, expect, test } from 'vitest';
import { syslog } from '../../../src/flow/formats/syslog.ts';
import { dayOfDataDate } from '../../../src/flow/parse/time.ts';
import { readAll, type Row } from './read.ts';

const constants = { sourceId: '1', dataDay: dayOfDataDate('2026-11-21')!, generation: 1 };
function row(line: string): Row {
  const { rows, rejects } = readAll(syslog, line, { constants });
  expect(rejects.map(({ violations }) => violations)).toEqual([]);
  return rows[0]!;
}
const at = ({ micros }: Row): string => new Date(Number(micros / 1000n)).toISOString();
const eight = '2026-11-21T08:00:00.000Z';

describe('a line of', () => {
  test.each<[string, string, Partial<Row>]>([
    ['rsyslog since Debian 12', '2026-11-21T09:00:00.000000+01:00 h sshd[9]: m', { module: 'sshd', attributes: { host: 'h', pid: '9' } }],
    ['rsyslog, in UTC', '2026-11-21T08:00:00Z h kernel: m', { module: 'kernel', attributes: { host: 'h' } }],
    ['rsyslog, with a priority', '<86>2026-11-21T08:00:00.000000+00:00 h sshd[9]: m', { severity: 'INFO', module: 'sshd', attributes: { facility: 10, host: 'h', pid: '9' } }],
    ['rsyslog’s template with words', 'Nov 21 08:00:00 h auth.warning sshd[9]: m', { severity: 'WARNING', attributes: { facility: 4, host: 'h', pid: '9' } }],
    ['RFC 3164', '<34>Nov 21 08:00:00 h su: m', { severity: 'CRIT', module: 'su', attributes: { facility: 4, host: 'h' } }],
    ['RFC 3164 with a fraction', 'Nov 21 08:00:00.000 h su: m', { module: 'su' }],
    ['RFC 3164 with a year', 'Nov 21 2026 08:00:00 h su: m', { module: 'su', attributes: { host: 'h' } }],
    ['RFC 3164 with the year behind', 'Nov 21 08:00:00 2026 h su: m', { module: 'su', attributes: { host: 'h' } }],
    ['RFC 5424 without a priority', '1 2026-11-21T08:00:00Z h app 12 ID1 - m', { severity: '-', module: 'app', attributes: { host: 'h', procid: '12', msgid: 'ID1' } }],
    ['RFC 6587, counted', '38 <34>1 2026-11-21T08:00:00Z h su - - - m', { severity: 'CRIT', module: 'su' }],
    ['a daemon without a host', 'Nov 21 08:00:00 sshd[9]: m', { module: 'sshd', attributes: { pid: '9' } }],
    ['a daemon without a host or process', 'Nov 21 08:00:00 kernel: m', { module: 'kernel', attributes: null }],
    ['FreeBSD', 'Nov 21 08:00:00 <auth.info> h sshd[9]: m', { severity: 'INFO', module: 'sshd', attributes: { facility: 4, host: 'h', pid: '9' } }],
    ['FreeBSD, in numbers', 'Nov 21 08:00:00 <4.6> h sshd[9]: m', { severity: 'INFO', module: 'sshd' }],
    ['OpenWrt', 'Sat Nov 21 08:00:00 2026 daemon.err dnsmasq[9]: m', { severity: 'ERR', module: 'dnsmasq', attributes: { facility: 3, pid: '9' } }],
    ['BusyBox', 'Nov 21 08:00:00 h user.notice root: m', { severity: 'NOTICE', module: 'root', attributes: { facility: 1, host: 'h' } }],
    ['macOS', 'Nov 21 08:00:00 Mac com.apple.xpc.launchd[1] (com.apple.a.b): m', { module: 'com.apple.xpc.launchd', attributes: { host: 'Mac', pid: '1', part: 'com.apple.a.b' } }],
    ['macOS with a level', 'Nov 21 08:00:00 Mac kernel[0] <Notice>: m', { severity: 'NOTICE', module: 'kernel', attributes: { host: 'Mac', pid: '0' } }],
    ['macOS’ installer', '2026-11-21 09:00:00+01 Mac Installer Helper[9]: m', { module: 'Installer Helper', attributes: { host: 'Mac', pid: '9' } }],
    ['syslog-ng with a chain of hosts', 'Nov 21 08:00:00 s_local@h/relay app[9]: m', { module: 'app', attributes: { host: 's_local@h/relay', pid: '9' } }],
    ['journalctl, short-iso', '2026-11-21T09:00:00+0100 h systemd[1]: m', { module: 'systemd' }],
    ['journalctl, short-precise', 'Nov 21 08:00:00.000000 h systemd[1]: m', { module: 'systemd' }],
    ['journalctl, short-full', 'Sat 2026-11-21 08:00:00 UTC h systemd[1]: m', { module: 'systemd', attributes: { host: 'h', pid: '1' } }],
    ['journalctl, short-unix', '1795248000.000000 h systemd[1]: m', { module: 'systemd', attributes: { host: 'h', pid: '1' } }],
    ['Cisco IOS', '<189>43: sw1: *Nov 21 08:00:00.000 UTC: %SYS-5-CONFIG_I: m', { severity: 'NOTICE', module: '%SYS-5-CONFIG_I', attributes: { facility: 23, host: 'sw1', sequence: '43', clock: 'not set' } }],
    ['Cisco IOS, bare', 'Nov 21 08:00:00: %LINK-3-UPDOWN: m', { severity: 'ERR', module: '%LINK-3-UPDOWN', attributes: null }],
    ['Cisco IOS through a relay', 'Nov 21 08:00:00 10.0.0.1 12: *Nov 21 08:00:00: %LINK-3-UPDOWN: m', { severity: 'ERR', module: '%LINK-3-UPDOWN', attributes: { host: '10.0.0.1', sequence: '12', clock: 'not set' } }],
    ['Cisco ASA', '<166>Nov 21 2026 08:00:00: %ASA-6-302013: m', { severity: 'INFO', module: '%ASA-6-302013' }],
    ['Cisco ASA with a host', 'Nov 21 2026 08:00:00 asa1 : %ASA-4-106023: m', { severity: 'WARNING', module: '%ASA-4-106023', attributes: { host: 'asa1' } }],
    ['Cisco NX-OS', '2026 Nov 21 08:00:00 sw1 %ETHPORT-5-IF_UP: m', { severity: 'NOTICE', module: '%ETHPORT-5-IF_UP', attributes: { host: 'sw1' } }],
  ])('%s', (_, line, expected) => {
    const found = row(line);
    expect(found).toMatchObject({ message: 'm', ...expected });
    expect(at(found)).toBe(eight);
  }); // prettier-ignore
});

describe('a device', () => {
  test.each<[string, string, Partial<Row>]>([
    ['IOS-XR', '<189>12: RP/0/RSP0/CPU0:Nov 21 08:00:00.000 UTC: config[65740]: %MGBL-CONFIG-3-DB_COMMIT : m', { severity: 'ERR', module: 'config', message: '%MGBL-CONFIG-3-DB_COMMIT : m', attributes: { facility: 23, sequence: '12', node: 'RP/0/RSP0/CPU0', pid: '65740' } }],
    ['IOS-XR through a relay', 'Nov 21 08:00:00 r1 12: RP/0/RSP0/CPU0:Nov 21 07:59:59.123 : ifmgr[185]: %PKT_INFRA-LINK-3-UPDOWN : m', { severity: 'ERR', module: 'ifmgr', attributes: { host: 'r1', sequence: '12', node: 'RP/0/RSP0/CPU0', pid: '185' } }],
    ['IOS without a clock, through a relay', 'Nov 21 08:00:00 10.0.0.1 43: 00:00:46: %LINK-3-UPDOWN: m', { severity: 'ERR', module: '%LINK-3-UPDOWN', message: 'm', attributes: { host: '10.0.0.1', sequence: '43', uptime: '00:00:46' } }],
    ['IOS up for weeks, through a relay', 'Nov 21 08:00:00 10.0.0.1 43: 1w2d: %LINK-3-UPDOWN: m', { severity: 'ERR', attributes: { host: '10.0.0.1', sequence: '43', uptime: '1w2d' } }],
    ['IOS without time stamps, through a relay', 'Nov 21 08:00:00 10.0.0.1 43: %LINK-3-UPDOWN: m', { severity: 'ERR', module: '%LINK-3-UPDOWN', attributes: { host: '10.0.0.1', sequence: '43' } }],
    ['Junos, with two spaces before its host', 'Nov 21 08:00:00  mx1 rpd[12]: RPD_OSPF_NBRDOWN: m', { severity: '-', module: 'rpd', message: 'RPD_OSPF_NBRDOWN: m', attributes: { host: 'mx1', pid: '12' } }],
    ['Junos with explicit priorities', 'Nov 21 08:00:00.000  mx1 mgd[12]: %INTERACT-4-UI_AUTH_EVENT: m', { severity: 'WARNING', module: 'mgd', attributes: { host: 'mx1', pid: '12' } }],
    ['SonicWall', '<131>id=firewall sn=0 time="2026-11-21 08:00:00 UTC" fw=1.2.3.4 pri=3 m=2 msg="m"', { severity: 'ERR', module: '-', attributes: { facility: 16, host: '1.2.3.4' } }],
    ['Meraki', '<134>1 1795248000.000000000 MX84 events type=x', { severity: 'INFO', module: '-', message: 'events type=x', attributes: { facility: 16, host: 'MX84' } }],
    ['Fortinet', '<187>date=2026-11-21 time=09:00:00 devname="fw1" devid="F" tz="+0100" type="event" level="error" msg="m"', { severity: 'ERR', module: '-', attributes: { facility: 23, host: 'fw1' } }],
    ['Fortinet without a priority', 'date=2026-11-21 time=08:00:00 devname=fw1 type=event level=information msg=m', { severity: 'INFO', attributes: { host: 'fw1' } }],
    ['Fortinet through a relay', 'Nov 21 08:00:00 fw1 date=2026-11-21 time=09:00:00 devname="x" type="event" level="alert" msg="m"', { severity: 'ALERT', module: '-', attributes: { host: 'fw1' } }],
  ])('%s', (_, line, expected) => {
    const found = row(line);
    expect(found).toMatchObject(expected);
    expect(found.attributes).toEqual(expected.attributes);
    expect(at(found)).toBe(eight);
  }); // prettier-ignore
});

describe('a tag', () => {
  test.each([
    ['postfix/smtpd[12]: m', 'postfix/smtpd'],
    ['postfix/submission/smtpd[12]: m', 'postfix/submission/smtpd'],
    ['org.gnome.Shell.desktop[12]: m', 'org.gnome.Shell.desktop'],
    ['/usr/sbin/cron[12]: m', '/usr/sbin/cron'],
    ['systemd-logind[12]: m', 'systemd-logind'],
    ['(systemd)[12]: m', '(systemd)'],
    ['sshd(pam_unix)[12]: m', 'sshd(pam_unix)'],
    ['Google Chrome Helper[12]: m', 'Google Chrome Helper'],
    ['Mail::SPF[12]: m', 'Mail::SPF'],
    ['app@instance[12]: m', 'app@instance'],
    ['a_b+c~1[12]: m', 'a_b+c~1'],
    ['kernel: m', 'kernel'],
    ['kernel:m', 'kernel'],
    ['sshd[12]:m', 'sshd'],
    ['Foo::Bar: m', 'Foo::Bar'],
    ['%FTD-6-1: m', '%FTD-6-1'],
  ])('%s', (text, module) => expect(row(`Nov 21 08:00:00 h ${text}`)).toMatchObject({ module, message: 'm' }));
  test.each([
    'last message repeated 3 times',
    'GET http://x/y failed',
    'lookup for opt failed',
    'see 10:20 for more',
    'key="a: b"',
  ])('is not found in "%s"', (text) =>
    expect(row(`Nov 21 08:00:00 h ${text}`)).toMatchObject({ module: '-', message: text, attributes: { host: 'h' } }),
  );
  test('may be followed by nothing', () =>
    expect(row('Nov 21 08:00:00 h app[1]:')).toMatchObject({ module: 'app', message: '' }));
  test('is kept apart from a repetition that rsyslog puts behind it', () =>
    expect(row('Nov 21 08:00:00 h sshd[1]: message repeated 2 times: [ m]')).toMatchObject({
      module: 'sshd',
      message: 'message repeated 2 times: [ m]',
    }));
  test.each(['Nov 21 08:00:00 last message repeated 3 times', 'Nov 21 08:00:00 --- last message repeated 1 time ---'])(
    'of "%s" is none, and neither is a host',
    (line) => expect(row(line)).toMatchObject({ module: '-', attributes: null }),
  );
});

test('a host is a host whatever colons it holds', () => {
  for (const host of ['10.0.0.1', 'fe80::1', '2001:db8::7', 'web-1.example.com'])
    expect(row(`Nov 21 08:00:00 ${host} app: m`)).toMatchObject({ module: 'app', attributes: { host } });
});
