import './base.css';
import './cells.css';
import './runs.css';
