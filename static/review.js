// The page `review`.

import "./api.js";
