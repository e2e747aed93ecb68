/** spiffe-helper's configuration: each key, former names, and what is refused with its line. */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import { readHelperConfig } from '../../src/cli/helper-config.ts';
import { tempDir } from '../support/temp-dir.ts';

const X509 = 'svid_file_name = "a"\nsvid_key_file_name = "b"\nsvid_bundle_file_name = "c"\n';

function write(t: TestContext, text: string): string {
  const file = path.join(tempDir(t), 'helper.conf');
  writeFileSync(file, text);
  return file;
}

const readText = (t: TestContext, text: string, daemonMode?: boolean) => readHelperConfig(write(t, text), daemonMode);

describe("spiffe-helper's configuration", () => {
  it('with every key', async (t) => {
    const config = await readText(
      t,
      `agent_address = "/tmp/agent.sock"
cmd = "nginx"
cmd_args = "-g \\"daemon off;\\" -c x"
pid_file_name = "/run/x.pid"
renew_signal = "SIGHUP"
cert_dir = "/certs"
daemon_mode = true
hint = "db"
add_intermediates_to_bundle = true
include_federated_domains = true
omit_expired = true
cert_file_mode = 0440
key_file_mode = 0400
jwt_svid_file_mode = 288
jwt_bundle_file_mode = "0644"
${X509}jwt_svids = [{jwt_audience="x", jwt_extra_audiences=["y", "z"], jwt_svid_file_name="x.token"}]
jwt_bundle_file_name = "keys.json"
health_checks {
  listener_enabled = true
  bind_port = 8090
  liveness_path = "/l"
}`,
    );
    assert.deepEqual(config, {
      agentAddress: '/tmp/agent.sock',
      plan: {
        directory: '/certs',
        allowShared: true,
        choice: { hint: 'db' },
        x509: {
          certificate: { name: 'a', mode: 0o440 },
          key: { name: 'b', mode: 0o400 },
          bundle: { name: 'c', mode: 0o440 },
          intermediatesInBundle: true,
          federated: true,
          omitExpired: true,
        },
        jwts: [{ audiences: ['x', 'y', 'z'], file: { name: 'x.token', mode: 0o440 } }],
        jwtBundle: { file: { name: 'keys.json', mode: 0o644 }, form: 'by-domain' },
      },
      isDaemon: true,
      cmd: ['nginx', '-g', 'daemon off;', '-c', 'x'],
      renewSignal: 'SIGHUP',
      pidFile: '/run/x.pid',
      health: { host: undefined, port: 8090, livenessPath: '/l', readinessPath: '/ready' },
      warnings: [],
    });
  });

  it('with the former names, which are reported', async (t) => {
    const { plan, agentAddress, warnings } = await readText(
      t,
      'agentAddress = "/s"\ncertDir = "/certs"\nsvidFileName = "a"\nsvidKeyFileName = "b"\nsvidBundleFileName = "c"\nrenewSignal = ""\ncmdArgs = ""\naddIntermediatesToBundle = true',
    );
    assert.deepEqual([agentAddress, plan.directory, plan.x509?.intermediatesInBundle], ['/s', '/certs', true]);
    assert.equal(warnings.length, 8);
    assert.equal(warnings[0], 'agentAddress is the former name of agent_address: rename it');
  });

  it('has the defaults of spiffe-helper; empty texts count as not set', async (t) => {
    const config = await readText(
      t,
      `cmd = ""\ncmd_args = ""\nrenew_signal = ""\npid_file_name = ""\nhint = ""\n${X509}`,
    );
    const { x509, choice } = config.plan;
    assert.deepEqual([x509?.certificate.mode, x509?.key.mode, choice], [0o644, 0o600, { hint: undefined }]);
    assert.deepEqual(
      [config.isDaemon, config.cmd, config.pidFile, config.health],
      [true, undefined, undefined, undefined],
    );
  });

  it('takes daemon_mode from the command line first', async (t) => {
    assert.equal((await readText(t, `daemon_mode = true\n${X509}`, false)).isDaemon, false);
    assert.equal((await readText(t, `daemon_mode = false\n${X509}`, true)).isDaemon, true);
    assert.equal((await readText(t, `exit_when_ready = true\n${X509}`)).isDaemon, false);
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    [`cert_dirs = "/x"\n${X509}`, /helper\.conf:1: there is no key "cert_dirs"; did you mean cert_dir\?/],
    [`${X509}zzzzzz = 1`, /helper\.conf:4: there is no key "zzzzzz"; the keys here are agent_address, cmd, /],
    [`${X509}hint = "a"\nHint = "b"`, /helper\.conf:5: .*(set twice|hint)/i],
    [`${X509}daemon_mode = "maybe"`, /helper\.conf:4: daemon_mode has a value of another kind; give true or false/],
    [`${X509}key_file_mode = 0999`, /helper\.conf:4: /],
    [`${X509}key_file_mode = 4755`, /helper\.conf:4: key_file_mode: .* has bits besides read, write and execute/],
    [`${X509}cert_file_mode = 0666`, /helper\.conf:4: cert_file_mode: 0666 lets everybody write; give an octal mode/],
    [`${X509}renew_signal = "SIGHUB"`, /helper\.conf:4: "SIGHUB" is not a signal, did you mean SIGHUP\?/],
    [`${X509}pid_file_name = "/x"`, /helper\.conf:4: pid_file_name has no effect without renew_signal; set both/],
    [
      `${X509}pid_file_name = "/x"\nrenew_signal = "HUP"\ndaemon_mode = false`,
      /helper\.conf:4: pid_file_name is set although daemon_mode is false/,
    ],
    [`${X509}cmd = "a"\ncmd_args = "b\\"c"`, /helper\.conf:5: a double quote is in the middle of a word/],
    [
      'svid_file_name = "a"',
      /helper\.conf:1: not all of svid_file_name, svid_key_file_name, svid_bundle_file_name are set/,
    ],
    ['cert_dir = "/x"', /helper\.conf: there is nothing to write; set /],
    ['svid_file_name = "a"\nsvid_key_file_name = "a"\nsvid_bundle_file_name = "c"', /two files have the name "a"/],
    [
      'svid_file_name = "a/b"\nsvid_key_file_name = "b"\nsvid_bundle_file_name = "c"',
      /helper\.conf:1: "a\/b" is not a name/,
    ],
    ['jwt_svids = [{jwt_audience="a"}]', /helper\.conf:1: jwt_svid_file_name is missing/],
    ['jwt_svids = [{jwt_svid_file_name="a"}]', /helper\.conf:1: jwt_audience is missing/],
    [
      'jwt_svids = [{jwt_audience="a", jwt_svid_file_name="a", jwt_extra_audience=["b"]}]',
      /there is no key "jwt_extra_audience"; did you mean jwt_extra_audiences\?/,
    ],
    [
      `${X509}health_checks { listener_enabled = true bind_port = 99999 }`,
      /helper\.conf:4: bind_port: 99999 is no port/,
    ],
    [`${X509}health_checks { liveness_path = "live" }`, /helper\.conf:4: liveness_path has no slash at its beginning/],
    [`${X509}health_checks { port = 1 }`, /helper\.conf:4: there is no key "port"/],
  ];
  it('names the first faults of a file that has thousands, each in a few words, what is missing last', async (t) => {
    const many = Array.from({ length: 5_000 }, (_, at) => `k${at} = 1`).join('\n');
    await assert.rejects(readText(t, `${'x'.repeat(100_000)} = 1\n${many}`), ({ message, problems }: SidekeyError) => {
      assert.equal(problems.length, 21);
      assert.ok(message.length < 10_000, `${message.length}`);
      assert.match(message.split('\n')[0]!, /helper\.conf:1: there is no key "x{40,100}…/);
      assert.match(message.split('\n').at(-1)!, /helper\.conf: there are 4982 more faults; mend these first$/);
      return true;
    });
    for (const text of [`cmd = <<${'A'.repeat(100_000)}\n`, `${`"${'b'.repeat(100_000)}" = 1\n`.repeat(2)}`]) {
      await assert.rejects(readText(t, text), ({ message }: SidekeyError) => message.length < 500);
    }
    await assert.rejects(readText(t, 'svid_filename = "a"'), ({ message }: SidekeyError) => {
      assert.match(message, /:1: there is no key "svid_filename".*\n.*: there is nothing to write/);
      return true;
    });
  });

  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text.replace(X509, '…'))}`, async (t) => {
      await assert.rejects(readText(t, text), (error: SidekeyError) => {
        assert.equal(error.code, 'ERR_CONFIG');
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
