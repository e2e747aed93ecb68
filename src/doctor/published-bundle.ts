/** Checks the bundle that other trust domains fetch. */

import type { DoctorJson } from '../admin/index.ts';
import { type Finding, formatDuration } from '../base/index.ts';

type Known = Partial<Pick<DoctorJson, 'published_bundle'>> & Pick<DoctorJson, 'at'>;
type Published = NonNullable<DoctorJson['published_bundle']>;

/** A certificate from files that ends within this time should have been replaced, in milliseconds. */
const SOON_MS = 7 * 86_400_000;
/** SVIDs are renewed at half of their life, so the endpoint's own is late when it has this little left, in milliseconds. */
const SVID_SOON_MS = 60_000;
/** Refresh hints outside of this range are unusual, in seconds: SPIRE warns of them too. */
const USUAL_HINTS = { least: 60, most: 86_399 };

/** Times are by the clock of the server. */
export function judgePublishedBundle({ published_bundle: published, at }: Known): Finding[] {
  if (published === null || published === undefined) return [];
  return [...judgeEndpoint(published, Date.parse(at)), ...judgeFile(published), ...judgeHint(published)];
}

function* judgeEndpoint({ endpoint }: Published, now: number): Iterable<Finding> {
  if (endpoint === null) return;
  const { profile, spiffe_id: id, cert_file: cert, key_file: key, not_after: end, problem } = endpoint;
  const isWeb = profile === 'https_web';
  const place = cert ?? id ?? 'bundle endpoint';
  const files = `put a certificate and its key into ${cert} and ${key}: the server reads them within 10 s`;
  const left = end === null ? undefined : Date.parse(end) - now;
  if (problem !== null) {
    yield {
      rule: 'endpoint-certificate',
      severity: 'error',
      place,
      problem: isWeb
        ? `the TLS files of the bundle endpoint can't be used: ${problem}`
        : `the SVID of the bundle endpoint could not be issued: ${problem}`,
      why: isWeb
        ? `the former certificate stays in use until ${end}, and the next start fails`
        : `other trust domains can fetch the bundle ${end === null ? 'only when it has one' : `until the former one ends, at ${end}`}`,
      fix: isWeb ? files : 'correct what sidekey doctor says of the authorities; it is tried again each 30 s at least',
    };
  }
  if (left !== undefined && left < (isWeb ? SOON_MS : SVID_SOON_MS)) {
    const span = formatDuration(Math.floor(Math.abs(left) / 1_000));
    yield {
      rule: 'endpoint-expiry',
      severity: left <= 0 ? 'error' : 'warning',
      place,
      problem:
        left <= 0
          ? `the certificate of the bundle endpoint has expired ${span} ago`
          : `the certificate of the bundle endpoint ends in ${span}`,
      why: `other trust domains ${left <= 0 ? 'cannot' : 'will not be able to'} fetch the bundle, and refuse this one's workloads after the next rotation`,
      fix: isWeb ? files : 'correct what sidekey doctor says of the authorities: the SVID is then renewed by itself',
    };
  }
}

function* judgeFile({ file, endpoint }: Published): Iterable<Finding> {
  if (file === null) return;
  if (file.problem !== null) {
    yield {
      rule: 'published-file',
      severity: 'error',
      place: file.path,
      problem: `the bundle could not be written into it: ${file.problem}`,
      why: "other trust domains get an old bundle, and refuse this one's workloads after the next rotation",
      fix: 'let the user of the server write in its directory, on a disk with free space; it is tried again each 30 s at least',
    };
  }
  if (file.open_to.length > 0) {
    yield {
      rule: 'published-file-open',
      severity: 'warning',
      place: file.path,
      problem: `other users can change it: ${file.open_to.join('; ')}`,
      why: 'a user who can change it can impersonate every workload of this trust domain to the others',
      fix: 'keep it where only root or the user of the server can write, including the directories above it',
    };
  }
  if (endpoint === null) return;
  if (endpoint.profile !== 'https_spiffe') return;
  yield {
    rule: 'endpoint-behind-cdn',
    severity: 'info',
    place: file.path,
    problem: 'the bundle is published in a file too, and the endpoint has the profile https_spiffe',
    why: 'what serves the file, such as a CDN or a bucket, has no SVID: relationships with its URL need the profile https_web',
    fix: 'tell partners the profile that belongs to the URL that they use; docs/federation.md has both',
  };
}

function* judgeHint({ refresh_hint: hint }: Published): Iterable<Finding> {
  if (hint >= USUAL_HINTS.least && hint <= USUAL_HINTS.most) return;
  const isShort = hint < USUAL_HINTS.least;
  yield {
    rule: 'refresh-hint',
    severity: 'info',
    place: '--federation-refresh-hint',
    problem: `the refresh hint is ${formatDuration(hint)}`,
    why: isShort
      ? 'some servers fetch no more often than each minute, so a new authority may sign before they know it'
      : 'others learn of a tainted authority only after that time',
    fix: 'give a refresh hint from 1m to 1h, such as 5m',
  };
}
