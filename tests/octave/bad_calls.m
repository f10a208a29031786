function bad_calls()
%BAD_CALLS  Everything that must end in an error with an identifier, and the sender alive after it.
rtelasto_mex('open', 'tcp://127.0.0.1:*');
good = struct('sampling_freq_hz', 40e6, 'center_freq_hz', 6.25e6, 'line_pitch_m', 3e-4, ...
    'sound_speed_m_s', 1540);
rf = zeros(16, 4, 'int16');
channel = setfield(good, 'kind', 'channel');
channel.angles_rad = 0;
channel.origin_times_s = 0;
channel.first_elements = 0;
iq = setfield(good, 'kind', 'iq');
iq.demodulation_freq_hz = 6e6;

show('no call', @() rtelasto_mex());
show('call of another class', @() rtelasto_mex(1));
show('unknown call', @() rtelasto_mex('fly'));
show('long call', @() rtelasto_mex(repmat('x', 1, 5000)));
show('no samples', @() rtelasto_mex('send'));
show('no meta', @() rtelasto_mex('send', rf));
show('meta no struct', @() rtelasto_mex('send', rf, 1));
show('meta an array', @() rtelasto_mex('send', rf, [good good]));
show('double', @() rtelasto_mex('send', double(rf), good));
show('uint8', @() rtelasto_mex('send', uint8(rf), good));
show('char', @() rtelasto_mex('send', 'abc', good));
show('cell', @() rtelasto_mex('send', {1}, good));
show('struct', @() rtelasto_mex('send', good, good));
show('logical', @() rtelasto_mex('send', true(4), good));
show('sparse', @() rtelasto_mex('send', sparse(1), iq));
show('function', @() rtelasto_mex('send', @sin, good));
show('complex', @() rtelasto_mex('send', single(rf) + 1i, good));
show('empty', @() rtelasto_mex('send', zeros(0, 4, 'int16'), good));
show('rank', @() rtelasto_mex('send', zeros(4, 4, 2, 'int16'), good));
show('channel rank', @() rtelasto_mex('send', zeros(4, 4, 2, 2, 'int16'), channel));
show('too many lines', @() rtelasto_mex('send', zeros(1, 4097, 'int16'), good));
show('too many samples', @() rtelasto_mex('send', zeros(65537, 1, 'int16'), good));
show('real IQ', @() rtelasto_mex('send', single(rf), iq));
show('int IQ', @() rtelasto_mex('send', rf, iq));
show('Q of another size', @() rtelasto_mex('send', single(rf), iq, single(rf(1:3, :))));
show('Q of another class', @() rtelasto_mex('send', single(rf), iq, double(rf)));
show('Q beside RF', @() rtelasto_mex('send', rf, good, rf));

names = fieldnames(good);
for k = 1:numel(names)
    for value = {[], NaN, Inf, -1, 0, 1e300, [1 2], 'x', {1}, 1i, struct(), @sin}
        bad = good;
        bad.(names{k}) = value{1};
        show(['meta.' names{k}], @() rtelasto_mex('send', rf, bad));
    end
    show(['no meta.' names{k}], @() rtelasto_mex('send', rf, rmfield(good, names{k})));
end
wrong = {
    'sampling_freq_hz', 10e6
    'kind', 'fish'
    'kind', 7
    'frame_id', -1
    'frame_id', 1.5
    'frame_id', NaN
    'frame_id', 2^60
    'frame_id', intmax('uint64')
    'acquired_ns', 'now'
    'clock', repmat('x', 1, 65)
    'clock', ['a'; 'b']
    'clock', char([1 2 3])
    'start_depth_m', 1
};
for k = 1:size(wrong, 1)
    show(['meta.' wrong{k, 1}], @() rtelasto_mex('send', rf, setfield(good, wrong{k, :})));
end
wrong = {
    'angles_rad', 2
    'angles_rad', [0 0]
    'angles_rad', 'x'
    'angles_rad', single(0)
    'origin_times_s', 1
    'first_elements', 1
    'first_elements', 0.5
    'n_elements', 3
    'n_elements', 1e9
    'sampling', 'iq'
    'transmit', 'diverging'
    'transmit', 'focused'
    'columns', 5
    'columns', 0
    'first_rows', 17
    'first_rows', 1
};
for k = 1:size(wrong, 1)
    show(['channel ' wrong{k, 1}], @() rtelasto_mex('send', rf, setfield(channel, wrong{k, :})));
end
beyond = channel;
beyond.first_rows = 10;
beyond.n_samples = 8;
show('rows beyond the end', @() rtelasto_mex('send', rf, beyond));
many = channel;
many.angles_rad = zeros(1, 1000);
many.origin_times_s = zeros(1, 1000);
many.first_elements = zeros(1, 1000);
show('header too long', @() rtelasto_mex('send', zeros(2, 2, 1000, 'int16'), many));
show('carrier', @() rtelasto_mex('send', single(rf) + 1i, setfield(iq, 'carrier', 'lost')));

before = rtelasto_mex('stats');
show('endpoint taken', @() rtelasto_mex('open', 'udp://nowhere'));
show('endpoint a number', @() rtelasto_mex('open', 5));
show('endpoint too long', @() rtelasto_mex('open', repmat('x', 1, 400)));
show('options no struct', @() rtelasto_mex('open', 'tcp://127.0.0.1:*', 1));
show('hwm', @() rtelasto_mex('open', 'tcp://127.0.0.1:*', struct('send_hwm', 0)));
show('closed', @() after_close(rf, good));

rtelasto_mex('open', 'tcp://127.0.0.1:*');
rtelasto_mex('send', rf, good);
rtelasto_mex('send', rf, channel);
after = rtelasto_mex('stats');
printf('before %d after %d\n', before.sent, after.sent);
end

function after_close(rf, meta)
rtelasto_mex('close');
rtelasto_mex('send', rf, meta);
end

function show(name, call)
identifier = 'none';
try
    call();
catch problem
    identifier = problem.identifier;
end
printf('%s -> %s\n', name, identifier);
end
