package programs

// measured is what clients lost, by program: go test -v ./units/programs -long prints
// the lines.
var measured = map[string][]Measured{
	"nginx": {
		{252, Lost{Failed{0, 0, 2174}, Failed{0, 0, 2174}}, Lost{Failed{0, 116, 2257}, Failed{0, 81, 2262}}},
		{262, Lost{Failed{0, 0, 2606}, Failed{2, 0, 2608}}, Lost{Failed{0, 106, 2429}, Failed{0, 107, 2430}}},
	},
	"haproxy": {
		{252, Lost{Failed{0, 0, 2472}, Failed{1, 0, 2472}}, Lost{Failed{0, 108, 2662}, Failed{0, 107, 2662}}},
		{262, Lost{Failed{0, 0, 2464}, Failed{0, 0, 2464}}, Lost{Failed{10, 94, 3104}, Failed{0, 83, 3105}}},
	},
	"apache": {
		{262, Lost{Failed{0, 0, 3078}, Failed{7, 1, 3111}}, Lost{Failed{0, 255, 3124}, Failed{0, 255, 3124}}},
	},
	"lighttpd": {
		{252, Lost{Failed{0, 0, 2377}, Failed{3, 7, 2383}}, Lost{Failed{0, 15, 2152}, Failed{2, 20, 2152}}},
		{262, Lost{Failed{0, 0, 2700}, Failed{6, 0, 2700}}, Lost{Failed{0, 235, 2624}, Failed{2, 231, 2624}}},
	},
	"caddy": {
		{262, Lost{Failed{1, 0, 2521}, Failed{1, 1, 2521}}, Lost{Failed{8, 335, 2984}, Failed{0, 335, 2984}}},
	},
	"php-fpm": {
		{252, Lost{Failed{0, 0, 2763}, Failed{0, 0, 2764}}, Lost{Failed{0, 99, 2331}, Failed{0, 98, 2336}}},
		{262, Lost{Failed{0, 0, 3827}, Failed{0, 0, 3827}}, Lost{Failed{0, 586, 3257}, Failed{0, 586, 3257}}},
	},
	"gunicorn": {
		{252, Lost{Failed{0, 0, 4143}, Failed{67, 24, 4143}}, Lost{Failed{75, 933, 3248}, Failed{184, 935, 3248}}},
		{262, Lost{Failed{0, 0, 4307}, Failed{6, 24, 4384}}, Lost{Failed{0, 987, 3153}, Failed{0, 946, 3165}}},
	},
	"uvicorn": {
		{252, Lost{Failed{3, 0, 2415}, Failed{4, 0, 2415}}, Lost{Failed{770, 383, 3330}, Failed{768, 381, 3330}}},
		{262, Lost{Failed{3, 0, 2688}, Failed{8, 0, 2688}}, Lost{Failed{1886, 676, 4836}, Failed{1779, 665, 4837}}},
	},
	"unicorn": {
		{252, Lost{Failed{0, 0, 2294}, Failed{0, 0, 2294}}, Lost{Failed{0, 391, 2431}, Failed{0, 391, 2431}}},
		{262, Lost{Failed{0, 0, 3939}, Failed{0, 0, 3980}}, Lost{Failed{0, 806, 2957}, Failed{0, 808, 2957}}},
	},
	"puma": {
		{252, Lost{Failed{0, 0, 13520}, Failed{0, 0, 13521}}, Lost{Failed{2, 9975, 12066}, Failed{2, 925, 12066}}},
		{262, Lost{Failed{1, 0, 9548}, Failed{0, 0, 9548}}, Lost{Failed{28, 628, 3794}, Failed{0, 622, 3795}}},
	},
	"starman": {
		{252, Lost{Failed{0, 0, 4579}, Failed{0, 0, 0}}, Lost{Failed{197, 646, 7329}, Failed{0, 0, 0}}},
		{262, Lost{Failed{0, 0, 3956}, Failed{0, 0, 0}}, Lost{Failed{254, 410, 5026}, Failed{0, 0, 0}}},
	},
	"node": {
		{252, Lost{Failed{0, 0, 6035}, Failed{10, 0, 7912}}, Lost{Failed{2272, 971, 5475}, Failed{1946, 794, 5503}}},
		{262, Lost{Failed{0, 0, 2800}, Failed{1, 0, 2800}}, Lost{Failed{776, 542, 3405}, Failed{709, 455, 3405}}},
	},
	"node-cluster": {
		{252, Lost{Failed{0, 0, 7647}, Failed{87, 0, 9147}}, Lost{Failed{3209, 2413, 7986}, Failed{3100, 2227, 7986}}},
		{262, Lost{Failed{0, 0, 2758}, Failed{0, 1, 2758}}, Lost{Failed{1254, 820, 4152}, Failed{1252, 820, 4152}}},
	},
	"go": {
		{252, Lost{Failed{2, 0, 2734}, Failed{0, 0, 2734}}, Lost{Failed{78, 102, 2432}, Failed{61, 99, 2432}}},
		{262, Lost{Failed{0, 0, 2368}, Failed{0, 0, 2368}}, Lost{Failed{144, 78, 2311}, Failed{142, 78, 2311}}},
	},
	"unbound": {
		{262, Lost{Failed{0, 0, 1343}, Failed{0, 0, 0}}, Lost{Failed{0, 349, 1565}, Failed{0, 0, 0}}},
	},
	"sshd": {
		{262, Lost{Failed{54, 33, 1226}, Failed{0, 0, 0}}, Lost{Failed{102, 129, 1398}, Failed{0, 0, 0}}},
	},
}
