/** Small drawings, in the colour of the text, 16 × 16. */

const PATHS = {
  check: 'M3.5 8.5 6.5 11.5 12.5 5',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  close: 'M4 4l8 8M12 4l-8 8',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  up: 'M4 9.5 8 5.5 12 9.5',
  down: 'M4 6.5 8 10.5 12 6.5',
  search: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.5 10.5 13.5 13.5',
  overview: 'M2.5 2.5h4.5v6h-4.5zM9 2.5h4.5v3.5h-4.5zM2.5 10.5h4.5v3h-4.5zM9 8h4.5v5.5h-4.5z',
  proxies: 'M2.5 3h11v3.5h-11zM2.5 9.5h11v3.5h-11zM5 4.75h.01M5 11.25h.01',
  why: 'M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zM6.5 6.5a1.5 1.5 0 1 1 2 1.4c-.3.1-.5.4-.5.7v.4M8 11h.01',
  entries: 'M3 2.5h7l3 3v8h-10zM5.5 7.5h5M5.5 10h5',
  trust: 'M8 2 13 4v4c0 3-2 5-5 6-3-1-5-3-5-6V4zM6 8l1.5 1.5L10.5 6.5',
  issuances: 'M4 2.5h8v7H4zM6 5h4M6 7h2M6.5 9.5v4L8 12.5l1.5 1v-4',
  audit: 'M3 2.5h10v11H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3',
  sessions: 'M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c0-2.5 2-4 5-4s5 1.5 5 4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path
        d={PATHS[name]}
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        stroke-linejoin="round"
        stroke-linecap="round"
      />
    </svg>
  );
}
