function send_vectors(endpoint)
%SEND_VECTORS  Send the messages of tests/vectors, one sender after the other.
rf = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6.25e6, 'line_pitch_m', 3e-4, ...
    'start_depth_m', 0, 'sound_speed_m_s', 1540, 'frame_id', 127, ...
    'acquired_ns', int64(1234567890123), 'clock', 'monotonic');
send_one(endpoint, int16([1 -4; -2 32767; 3 -32768]), rf, ...
    '0123456789abcdef0123456789abcdef', 0);

f32 = struct('kind', 'rf_lines', 'sampling_freq_hz', 31.25e6, 'center_freq_hz', 7.8125e6, ...
    'line_pitch_m', 0.1953e-3, 'start_depth_m', -0.001, 'sound_speed_m_s', 1480, ...
    'frame_id', uint64(8589934592), 'acquired_ns', int64(-129), 'clock', 'recording');
send_one(endpoint, single([0; 1; -1.5; realmax('single')]), f32, 'scanner-1', 70000);

many = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 5e6, 'line_pitch_m', 2e-4, ...
    'start_depth_m', 0.005, 'sound_speed_m_s', 1540, 'frame_id', 65535, ...
    'acquired_ns', int64(65536));
send_one(endpoint, int16(0:199), many, 's', 128);

scanner = struct('line_pitch_m', 0.1979e-3, 'center_freq_hz', 7.8125e6, 'frame_id', 2, ...
    'acquired_ns', int64(3), 'clock', 'scanner');
iq = scanner;
iq.kind = 'iq';
iq.center_freq_hz = 7.5e6;
iq.sampling_freq_hz = 7.8125e6;
iq.demodulation_freq_hz = 7.8125e6;
iq.carrier = 'kept';
iq.sound_speed_m_s = 1540;
send_one(endpoint, single([1-2i; 0.5+0.25i]), iq, 's', 1);
send_one(endpoint, [1; 0.5], iq, 's', 1, [-2; 0.25]);

channel = scanner;
channel.kind = 'channel';
channel.sampling_freq_hz = 15.625e6;
channel.sound_speed_m_s = 1500;
channel.start_depth_m = 0.00375;
channel.n_elements = 2;
channel.sampling = 'quadrature';
channel.transmit = 'plane';
channel.angles_rad = [-0.125 0.125];
channel.origin_times_s = [2^-20 2^-20];
channel.first_elements = [0 1];
send_one(endpoint, int16(cat(3, [1; 2], [3; 4])), channel, 's', 1);
% The same out of a buffer as a scanner fills it: acquisitions in rows, channels in another order.
buffer = int16([9 9; 9 1; 9 2; 9 9; 9 3; 9 4]);
channel.first_rows = [2 5];
channel.n_samples = 2;
channel.columns = 2;
send_one(endpoint, buffer, channel, 's', 1);

focused = scanner;
focused.kind = 'channel';
focused.sampling_freq_hz = 31.25e6;
focused.sound_speed_m_s = 1500;
focused.start_depth_m = 0.00375;
focused.n_elements = 2;
focused.transmit = 'focused';
focused.lines_m = 0.25e-3;
focused.origin_times_s = 0;
focused.first_elements = 1;
send_one(endpoint, int16([5; -6; 7]), focused, 's', 1);
end

function send_one(endpoint, samples, meta, stream, seq, varargin)
rtelasto_mex('open', endpoint, struct('stream', stream, 'seq', seq));
wait_for_subscriber();
rtelasto_mex('send', samples, meta, varargin{:});
rtelasto_mex('close');
end
