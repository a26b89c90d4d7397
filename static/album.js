// The page `album`.

import "./api.js";
