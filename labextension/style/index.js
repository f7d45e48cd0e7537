import './palette.css';
import './base.css';
import './cells.css';
import './runs.css';
