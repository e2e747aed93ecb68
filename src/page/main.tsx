/** The page: mounts it into index.html. */

import { render } from 'preact';
import './style.css';

render(<h1>Sidekey</h1>, document.getElementById('page')!);
